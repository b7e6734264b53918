"""Tables, plots and pictures from core values and files."""
