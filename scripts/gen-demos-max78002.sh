#!/usr/bin/env bash
# Generates the C projects of all MAX78002 demos below ./build/MAX78002 (or $TARGET_DIR), from the checkpoints that
# quantize_DEMO.sh made (DEMO-q.pth.tar, here or in $CHECKPOINTS), else from those that ship with ai8x. A demo without a
# checkpoint is named and skipped. Options of `ai8x synthesize` are passed on to each.
set -euo pipefail
target="${TARGET_DIR:-build/MAX78002}"
demos="
  mnist cifar10 cifar100_qat8 cifar100_qat_mixed cifar100_simplenetwide2x_qat_mixed cifar100_ressimplenet
  cifar100_qat8_effnet2 cifar100_qat8_mobilenet_v2_0.5 cifar100_qat8_mobilenet_v2_0.75 ai87_kws20_v3 catsdogs
  camvid_unet aisegment_unet svhn_tinierssd facedet_tinierssd imagenet_effnet2 pascalvoc_fpndetector mobilefacenet_112
  bayer2rgb
"
shipped=" mnist "
for demo in $demos; do
  checkpoint="${CHECKPOINTS:-.}/$demo-q.pth.tar"
  if [[ -f "$checkpoint" ]]; then
    ai8x synthesize "$demo" --device MAX78002 --checkpoint "$checkpoint" --output "$target/$demo" "$@"
  elif [[ "$shipped" == *" $demo "* ]]; then
    ai8x synthesize "$demo" --device MAX78002 --output "$target/$demo" "$@"
  else
    echo "$demo: skipped, there is no $checkpoint (scripts/train_$demo.sh and scripts/quantize_$demo.sh make it)"
  fi
done
