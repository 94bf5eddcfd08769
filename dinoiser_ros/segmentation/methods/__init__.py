# SPDX-License-Identifier: Apache-2.0
"""The methods of the three papers, as data flow over tensors.

`registry` lists the methods by name and is where a new one is added; `inputs` is what a method
gets. The other files hold one step each: classification by text, guided pooling, the background,
CLIPer's fusion and compensation, FOUND.
"""
