"""Prior lumbar MRI exams: what names one, which records speak of it, and joining them."""
