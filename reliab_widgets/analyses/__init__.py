"""The analyses, one folder each: ``result.py`` (what comes out), ``compute.py``, ``widget.py``.

``ANALYSES`` lists their words. The word names the folder and the function; with a capital letter
it names the result, and with ``Widget`` behind that the widget.
"""

ANALYSES = ("saliency", "reliability", "propagation", "pruning")
