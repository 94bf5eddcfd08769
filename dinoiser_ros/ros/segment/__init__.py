# SPDX-License-Identifier: Apache-2.0
"""The node `dinoiser`.

The way of a frame: `image_subscription` -> `frame_queue` -> `inference_thread` (`pending_frame`,
then the segmenter) -> `publishers` (`result_messages`). When segmenting fails: `recovery`.

The rest, by what it is for:

- Process and node: `main`, `node` (lifecycle), `timers`, `session` (all that exists between
  configure and cleanup).
- Parameters and prompts: `parameters`, `engine` (the segmenter that they ask for),
  `parameter_changes` (while frames go on), `services`.
- What people see of it: `statistics`, `diagnostics`, `problems`, `throttled_log`.
- Memory: `memory`.
"""
