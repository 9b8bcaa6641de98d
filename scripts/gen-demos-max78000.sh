#!/usr/bin/env bash
# Generates the C projects of all MAX78000 demos below ./build/MAX78000 (or $TARGET_DIR), from the checkpoints that
# quantize_DEMO.sh made (DEMO-q.pth.tar, here or in $CHECKPOINTS), else from those that ship with ai8x. A demo without a
# checkpoint is named and skipped. Options of `ai8x synthesize` are passed on to each.
set -euo pipefail
target="${TARGET_DIR:-build/MAX78000}"
demos="
  mnist mnist_extrasmall cifar10 cifar100_qat8 cifar100_qat_mixed cifar100_simplenetwide2x_qat_mixed
  cifar100_ressimplenet kws20_v3 kws20_nas kws20_v2 kws20 kws20_v3_msnoise_mixed kws20_nas_msnoise_mixed catsdogs camvid_unet
  aisegment_unet svhn_tinierssd facedet_tinierssd faceid_112 autoencoder qr_tinierssd
"
shipped=" mnist kws20_v3 "
for demo in $demos; do
  checkpoint="${CHECKPOINTS:-.}/$demo-q.pth.tar"
  if [[ -f "$checkpoint" ]]; then
    ai8x synthesize "$demo" --device MAX78000 --checkpoint "$checkpoint" --output "$target/$demo" "$@"
  elif [[ "$shipped" == *" $demo "* ]]; then
    ai8x synthesize "$demo" --device MAX78000 --output "$target/$demo" "$@"
  else
    echo "$demo: skipped, there is no $checkpoint (scripts/train_$demo.sh and scripts/quantize_$demo.sh make it)"
  fi
done
