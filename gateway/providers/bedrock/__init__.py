"""Amazon Bedrock's Converse protocol: JSON in its own words, and streams in AWS's binary frames."""
