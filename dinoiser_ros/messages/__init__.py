# SPDX-License-Identifier: Apache-2.0
"""ROS image messages and arrays, in both directions, and the names of topics.

`decode` reads camera messages, `encode` makes image messages, `topic_names` names the outputs.
Nothing here needs rclpy: messages that rosbags reads from a bag are handled the same way.
"""
