"""A converted dataset as it lies in nnU-Net's folders: for whoever trains, detects or predicts."""
