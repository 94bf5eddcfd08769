# SPDX-License-Identifier: Apache-2.0
"""What the messages of the standard package vision_msgs hash to."""

# Of the standard package vision_msgs 4.1.1, as rosidl of ROS 2 Kilted computes them.
STANDARD_HASHES = {
    "LabelInfo": "3d37df4015cdf660cc851c51897f2acd957e1ca6205ba0a99aebffb9406b0783",
    "VisionClass": "1e4a11f0fed50b5623cb8ff26ca0e37952a48a9c074d16f804b44e9164c2037a",
}
