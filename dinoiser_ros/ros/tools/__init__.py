"""Small nodes beside the segmentation node: `image_source`, `sim_camera` and `viewer`."""
