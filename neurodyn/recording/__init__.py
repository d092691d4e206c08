"""What a recording is: kinds, constructors, validation and storage."""
