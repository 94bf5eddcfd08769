# SPDX-License-Identifier: Apache-2.0
"""The methods of the three papers, as functions of tensors.

`registry` lists the methods by name and is where a new one is added; `inputs` is what a method
gets. Each paper's methods have their own file: `maskclip`, `maskclip_plus`, `dinoiser`, `cliper`.
The other files hold one step each: classification by text, guided pooling, the background, CLIPer's
compensation, FOUND.
"""
