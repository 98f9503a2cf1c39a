from polydiff.sampling import *  # temporary alias, to be deleted: import polydiff.sampling
