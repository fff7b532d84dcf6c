# %% [markdown]
# # Deep learning frameworks

# %%
from autograder import attempt, check
import frameworks

# %% [markdown] question="why_eval" points=5
# Why?

# %% [markdown] question="which_framework" points=5
# Which?
