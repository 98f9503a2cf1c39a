from polydiff.trainer import *  # temporary alias, to be deleted: import polydiff.trainer
