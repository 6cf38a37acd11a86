"""What texts mean: vectors of a small model, and what tells two texts apart whatever they say.

Pure, but for the model's files, which come with the packages of the extra ``semantic``.
"""
