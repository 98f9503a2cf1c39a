from polydiff.training import *  # temporary alias, to be deleted: import polydiff.training
