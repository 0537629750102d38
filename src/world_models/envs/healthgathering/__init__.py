"""ViZDoom's health gathering: the floor is acid, and medikits keep one alive."""
