"""Datasets: folders of images, sound and time series; cache, download, augmentation."""
