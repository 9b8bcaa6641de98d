#!/usr/bin/env bash
# Generates the C projects of all MAX78002 demos; see gen-demos.sh. Options of `ai8x synthesize` are passed on to each.
exec "$(dirname "$0")/gen-demos.sh" MAX78002 \
  mnist cifar10 cifar100_qat8 cifar100_qat_mixed cifar100_simplenetwide2x_qat_mixed cifar100_ressimplenet \
  cifar100_qat8_effnet2 cifar100_qat8_mobilenet_v2_0.5 cifar100_qat8_mobilenet_v2_0.75 ai87_kws20_v3 catsdogs \
  camvid_unet aisegment_unet svhn_tinierssd facedet_tinierssd imagenet_effnet2 pascalvoc_fpndetector \
  mobilefacenet_112 bayer2rgb -- "$@"
