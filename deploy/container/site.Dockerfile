# The image of one site: the software, and the rules that the site has signed. Rules are released
# and rolled back as images are: docker build --file site.Dockerfile --tag site-cds:2026.2.0 FOLDER,
# where FOLDER holds lumbar-mri/ as `knowledge export` wrote it.
ARG SERVICE=lumbar-mri-cds:0.1.0
# hadolint ignore=DL3006
FROM ${SERVICE}
COPY lumbar-mri /usr/share/lumbar-mri-cds/knowledge/lumbar-mri
ENV CDS_HOOKS_PATH=/usr/share/lumbar-mri-cds/knowledge
