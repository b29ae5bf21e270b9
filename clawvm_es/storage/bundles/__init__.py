"""Bundles as journals that are only read: one file, or an archive's folder of them."""
