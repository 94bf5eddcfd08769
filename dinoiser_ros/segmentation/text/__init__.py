# SPDX-License-Identifier: Apache-2.0
"""From prompts to text embeddings.

`vocabulary` parses prompts and gives class ids; `encoder` embeds phrases with `tower`, and keeps
the results with `cache`. `trained_phrases` takes their place for `maskclip+`.
"""
