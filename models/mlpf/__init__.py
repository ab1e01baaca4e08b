"""Machine-learned particle flow: from elements to what each of them stands for."""
