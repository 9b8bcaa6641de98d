"""Options of the commands as frozen values; each is declared once, as a field of a settings class."""
