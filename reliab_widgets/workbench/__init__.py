"""The workbench: several analyses of one network and one image, linked, and their story.

From the bottom up: `variants` (what network and images can become, as small recipes), `bench` (the
selection that all share), `links` (one widget and the selection), `story` and `steps` (what was
done, in sentences and as code), `files` (a workbench as JSON); then what is seen: `chips`, `strip`,
`side`, `tabs`, `page`, and `widget`, which holds all together.
"""
