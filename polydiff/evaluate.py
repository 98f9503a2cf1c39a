from polydiff.evaluation import *  # temporary alias, to be deleted: import polydiff.evaluation
