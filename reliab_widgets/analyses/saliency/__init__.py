"""Saliency: which pixels count depends on what you call nothing.

Occlusion, RISE and path gradients compare an image with a "neutral" baseline. No baseline is
neutral: Brunke, Agrawal and George 2020, "Evaluating input perturbation methods for interpreting
CNNs and saliency map comparison", arXiv 2101.10977; Sturmfels, Lundberg and Lee 2020, "Visualizing
the impact of feature attribution baselines", doi 10.23915/distill.00022. Here the same image is
explained with several baselines at once, beside an untrained network as control.
"""
