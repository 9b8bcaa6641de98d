"""Front ends: conversion of descriptions and PyTorch models to networks."""
