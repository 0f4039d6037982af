"""The real Inductor, asked what it fuses: its schedules for the CPU and for GPUs."""
