"""Studies as they arrive: taken in, queued, predicted with models that stay loaded, answered into the same study."""
