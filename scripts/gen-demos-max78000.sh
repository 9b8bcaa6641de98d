#!/usr/bin/env bash
# Generates the C projects of all MAX78000 demos; see gen-demos.sh. Options of `ai8x synthesize` are passed on to each.
exec "$(dirname "$0")/gen-demos.sh" MAX78000 \
  mnist mnist_extrasmall cifar10 cifar100_qat8 cifar100_qat_mixed cifar100_simplenetwide2x_qat_mixed \
  cifar100_ressimplenet kws20_v3 kws20_nas kws20_v2 kws20 kws20_v3_msnoise_mixed kws20_nas_msnoise_mixed catsdogs \
  camvid_unet aisegment_unet svhn_tinierssd facedet_tinierssd faceid_112 autoencoder qr_tinierssd -- "$@"
