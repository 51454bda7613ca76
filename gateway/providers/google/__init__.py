"""Google's generateContent, as AI Studio and Vertex speak it. Read next: tongue.py."""
