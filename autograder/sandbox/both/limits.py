"""Limits of what crosses the wall, and of a worker. Both sides keep them. All others are in autograder/limits.py."""

# --- one frame -------------------------------------------------------------------------------------------------------
HEADER_BYTES = 4 << 20  #: bytes: the texts, numbers and lists of a frame; each may become an object
BODY_BYTES = 1 << 30  #: bytes: the arrays of a frame
ITEMS = 1_000_000  #: entries of one list of a frame
DEPTH = 64  #: lists within lists: a frame is read by recursion
NODES = 400_000  #: values of a frame: each may become an object of 100 bytes
KEYS = 2_000  #: keys of a frame's dictionaries: a sender can choose keys whose hashes are all the same
DIMENSIONS = 32  #: axes of an array: NumPy 1 has no more
DIGITS = 1_200  #: hexadecimal digits of an integer: Python writes a larger one in quadratic time
MEMORY_BYTES = 3 * BODY_BYTES  #: bytes that the arrays of one frame may take where they are read

# --- a generator that comes back -------------------------------------------------------------------------------------
TWISTER_BLOCKS = 20_000  #: blocks of 624 words that one call may draw from a Mersenne twister
PCG_STEPS = 1 << 36  #: numbers that one call may draw from a PCG64: more than a CPU draws within a test
NORMAL = 9.0  #: size of a normal number that a state keeps for later: no generator draws a larger one

# --- a worker --------------------------------------------------------------------------------------------------------
NAMES = 1_000  #: names of a module that the judge learns at once; it asks for any further one
OPEN_FILES = 64  #: descriptors of a worker
PROCESSES = 64  #: processes and threads of a worker
