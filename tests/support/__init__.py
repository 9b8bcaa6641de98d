"""What several tests share.

`networks` builds small networks from YAML keys, `random_networks` draws legal ones; `register_programs` and
`diagnosed_programs` write registers by field name; `reference_*` are slow implementations to compare with;
`golden_cases`, `program_stores` and `case_folders` read reference data.
"""
