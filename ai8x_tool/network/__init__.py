"""What is computed: operators, sizes, parameters."""
