# SPDX-License-Identifier: Apache-2.0
"""ROS image messages and arrays, in both directions, the ids of classes and the names of topics.

`decode` reads camera messages, `encode` makes image messages, `topic_names` names the outputs.
`prompt_ids` reads the ids that prompts ask for, `class_ids` gives ids, `mask_pixels` applies them.
Nothing here needs rclpy: messages that rosbags reads from a bag are handled the same way.
"""
