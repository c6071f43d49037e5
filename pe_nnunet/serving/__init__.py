"""Studies as they arrive: taken in, queued, predicted with models that stay loaded, and answered into the same study."""
