"""The laboratory: image sets, models, training. All that needs torch lives here and nowhere else.

Other rooms use ``lab.tasks`` alone: one training described by plain JSON goes in, its scores come out.
"""
