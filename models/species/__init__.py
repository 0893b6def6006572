"""Many species: several views, hierarchical transfer, answers of fitting depth (paper 001)."""
