"""Training: losses, schedule, and one loop for pretraining, distillation and fine-tuning."""
