"""The origin: owns stream groups, one a stream, with its GOP cache and its subscribers."""
