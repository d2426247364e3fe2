__version__ = "0.1.0"

from hemidiaphragm_nb.extras import name_missing_extras

name_missing_extras()
