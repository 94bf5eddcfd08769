# SPDX-License-Identifier: Apache-2.0
"""The networks: CLIP's and DINO's vision transformers, the heads, Stable Diffusion, `maskclip+`.

`clip_backbone` is what every image goes through; `vit`, `blocks` and `onednn_blocks` compute
its pass from the weights, with `attention` on a CPU. `siglip`, `dinov2` and `dinov3` have the
backbones of those families. Nothing here reads a model's file or knows a prompt.
"""
