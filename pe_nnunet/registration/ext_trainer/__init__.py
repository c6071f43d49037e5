"""The folder to name in `nnUNet_extTrainer`: it holds one module, since nnU-Net imports all that it finds there."""
