from .column import Column, Profile
from .reader import Reader, TableWarning
from .table_files import read_table_file

__all__ = ["Column", "Profile", "Reader", "TableWarning", "read_table_file"]
