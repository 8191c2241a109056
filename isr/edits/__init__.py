"""Edit directories: metadata, images, and everything that is checked before anybody is asked."""
