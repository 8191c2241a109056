"""What a study works on: images from a folder or a data set, unseen prompts."""
