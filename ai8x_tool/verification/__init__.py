"""The verification chain: trained model ≈ quantized model ≡ integer engine ≡ virtual device ≡ firmware."""
