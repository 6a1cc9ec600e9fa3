"""The catalogue of studies: each asks a question, predicts the answer, and measures it.

One file a study, in the folder of its topic. Read `study` for what one consists of, `runner` for
how it is carried out.
"""
