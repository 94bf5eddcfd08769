# SPDX-License-Identifier: Apache-2.0
"""ROS image messages and arrays, in both directions, and the names of topics.

`decode` reads camera messages, `encode` makes image messages, `topic_names` names the outputs.
Nothing here needs rclpy: messages read from a bag by rosbags go the same way.
"""
