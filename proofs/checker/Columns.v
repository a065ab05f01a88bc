(** * The rows of an accepted certificate

    - [errors_unit], [owns_unit]: each row's own error, and its own change for each pixel, absorb
      what its columns miss: [local_error] of Forms.v;
    - [unit_accepted]: what [good_row] accepts meets [unit_facts].

    Rests on Accepted.v and Forms.v. Stands behind columns.py. *)

From Coq Require Import Reals Lra Lia ZArith List Bool.
From Lastbit Require Import Statement Totals network.Duals network.Forms network.Bound.
From Lastbit Require Import checker.Program checker.Numbers checker.Vectors checker.Annotation
  checker.Accepted.
Import ListNotations.
Open Scope R_scope.

Section Columns.
Variables (net : cnet) (crt : cert).
Hypothesis Hcap : (0 <= c_cap crt)%Z.
Hypothesis good :
  forallb (good_row (row_at crt) (cpixels net) (c_cap crt)) (numbered 1 (cunits net)) = true.

Notation at_ := (row_at crt).
Notation n := (length (cunits net)).

Section Unit.
Variable k : nat.
Hypothesis Hk : (k < n)%nat.

Notation r := (at_ (key k)).
Notation o := (unit_at net k).
Notation A := (n_cols (numbers_of crt)).
Notation L := (fun _ j => coef (kept_of o r) j).
Notation errs := (fun g => real (r_err (at_ (key g)))).
Notation owns q := (fun g => real (entry q (r_own (at_ (key g))))).

Lemma kept_reads x : In x (kept_of o r) -> (num (snd x) < k)%nat.
Proof.
  intros H.
  generalize (g_reads _ _ _ _ _ (decided net crt Hcap good k Hk) _ (kept_in_reads _ _ _ H)).
  now rewrite num_key.
Qed.

Lemma cols_below x : In x (r_cols r) -> (num (snd x) < k)%nat.
Proof.
  intros H. generalize (g_cols _ _ _ _ _ (decided net crt Hcap good k Hk) x H). now rewrite num_key.
Qed.

Lemma errs_pos g : (g < k)%nat -> 0 <= errs g.
Proof.
  intros Hg. apply real_pos, (g_err_pos _ _ _ _ _ (decided net crt Hcap good g ltac:(lia))).
Qed.

Lemma owns_pos q g : (g < k)%nat -> 0 <= owns q g <= real (c_cap crt).
Proof.
  intros Hg. destruct (g_own_pos _ _ _ _ _ (decided net crt Hcap good g ltac:(lia)) q).
  split; [now apply real_pos|now apply real_le].
Qed.

(** ** Ranges and changes *)

Lemma radius_unit : radius A errs k <= real (r_rad r).
Proof.
  apply Rle_trans with (2 := real_le _ _ (g_rad _ _ _ _ _ (decided net crt Hcap good k Hk))).
  unfold radius, radius_of. rewrite real_plus. apply Rplus_le_compat_r.
  apply (weigh_ok k (fun g => r_err (at_ g)) (r_cols r) errs). intros x Hx.
  split; [now apply errs_pos, cols_below|]. rewrite key_num. apply Rle_refl.
Qed.

Lemma move_unit q : radius A (owns q) k <= real (entry q (r_move r)).
Proof.
  apply Rle_trans with (2 := real_le _ _ (g_move _ _ _ _ _ (decided net crt Hcap good k Hk) q)).
  unfold radius, moves_of. rewrite nth_vadd, real_plus, vweigh_entry. apply Rplus_le_compat_r.
  apply (weigh_ok k (fun g => entry q (r_own (at_ g))) (r_cols r) (owns q)). intros x Hx.
  split; [now apply owns_pos, cols_below|]. rewrite key_num. apply Rle_refl.
Qed.

(** ** What the columns miss *)

Lemma column_is j g : (num j < k)%nat -> coef (r_cols (at_ j) ++ [(one, j)]) g = column A (num j) g.
Proof.
  intros H. assert (F := decided_below net crt Hcap good k j Hk H). rewrite coef_app, coef_cons.
  unfold column. cbn [n_cols numbers_of]. rewrite key_num, real_one. change (coef [] g) with 0.
  destruct (Nat.ltb_spec g (num j)) as [L|L].
  - destruct (Nat.eqb_spec (num j) g); [lia|lra].
  - rewrite (coef_beyond (r_cols (at_ j)) (num j) g); [|apply (g_cols _ _ _ _ _ F)|exact L].
    rewrite Nat.eqb_sym. destruct (g =? num j)%nat; lra.
Qed.

Lemma coef_image l start g : (forall x, In x l -> (num (snd x) < k)%nat) ->
  coef (image_of at_ l start) g =
  total (map (fun w => IZR (fst w) * column A (num (snd w)) g) l) + coef start g.
Proof.
  induction l as [|x l IH]; intros H; [unfold image_of; simpl; lra|].
  cbn [image_of fold_right map]. fold (image_of at_ l start).
  rewrite coef_merge, coef_scaled, (column_is _ _ (H x (or_introl eq_refl))),
    IH by (intros; apply H; now right).
  change (total (?a :: ?b)) with (a + total b). lra.
Qed.

Lemma misfit_entry g : coef (image_of at_ (kept_of o r) (scaled (- one) (r_cols r))) g / 2 ^ 100 =
  misfit L A k g.
Proof.
  rewrite (coef_image _ _ _ kept_reads), coef_scaled. unfold misfit.
  rewrite (coef_sum k (kept_of o r) _ kept_reads). rewrite opp_IZR, one_is.
  change (A k g) with (coef (r_cols r) g).
  replace (total (map (fun w => IZR (fst w) * column A (num (snd w)) g) (kept_of o r))) with
    (2 ^ 100 * total (map (fun w => real (fst w) * column A (num (snd w)) g) (kept_of o r)));
    [lra|].
  rewrite <- total_map_scale. apply total_map_ext. intros x _. unfold real. lra.
Qed.

Lemma merge_keys (P : positive -> Prop) a b : Forall (fun x => P (snd x)) a ->
  Forall (fun x => P (snd x)) b ->
  Forall (fun x => P (snd x)) (merge a b).
Proof.
  revert b. induction a as [|[x i] a IHa]; intros b Ha; [intros Hb; exact Hb|].
  inversion Ha as [|? ? Hi Ha']; subst. induction b as [|[y j] b IHb]; intros Hb; [exact Ha|].
  inversion Hb as [|? ? Hj Hb']; subst. cbn [merge]. destruct (Pos.compare i j).
  - constructor; [exact Hi|now apply IHa].
  - constructor; [exact Hi|now apply IHa].
  - constructor; [exact Hj|now apply IHb].
Qed.

Lemma image_keys l start : (forall x, In x l -> (num (snd x) < k)%nat) ->
  Forall (fun x => (num (snd x) < k)%nat) start ->
  Forall (fun x => (num (snd x) < k)%nat) (image_of at_ l start).
Proof.
  intros H Hs. induction l as [|x l IH]; [exact Hs|]. cbn [image_of fold_right].
  fold (image_of at_ l start). assert (Hx := H x (or_introl eq_refl)).
  assert (F := decided_below net crt Hcap good k (snd x) Hk Hx).
  apply (merge_keys (fun g => (num g < k)%nat)); [|apply IH; intros; apply H; now right].
  apply Forall_forall. intros y Hy. unfold scaled in Hy. apply in_map_iff in Hy.
  destruct Hy as (z & <- & Hz). cbn [snd]. apply in_app_or in Hz.
  destruct Hz as [Hz|[<-|[]]]; [|exact Hx]. generalize (g_cols _ _ _ _ _ F z Hz). lia.
Qed.

Lemma misfit_keys x : In x (misfit_of at_ o r) -> (num (snd x) < k)%nat.
Proof.
  unfold misfit_of. intros H. apply in_map_iff in H. destruct H as (y & <- & Hy). cbn [snd].
  revert y Hy. apply Forall_forall. apply image_keys; [exact kept_reads|]. apply Forall_forall.
  intros y Hy. unfold scaled in Hy. apply in_map_iff in Hy. destruct Hy as (z & <- & Hz). cbn [snd].
  now apply cols_below.
Qed.

(** What the columns miss, times anything that is not negative. *)
Lemma misfit_total f : (forall g, (g < k)%nat -> 0 <= f g) ->
  over k (fun g => Rabs (misfit L A k g) * f g) <=
  total (map (fun x => real (fst x) * f (num (snd x))) (misfit_of at_ o r)).
Proof.
  intros Hf. set (l := image_of at_ (kept_of o r) (scaled (- one) (r_cols r))).
  assert (Lk : forall x, In x l -> (num (snd x) < k)%nat).
  { intros x Hx. apply (misfit_keys (up (Z.abs (fst x)), snd x)). unfold misfit_of.
    apply in_map_iff. now exists x. }
  apply Rle_trans with (/ 2 ^ 100 * over k (fun g => Rabs (coef l g) * f g)).
  - rewrite <- over_scale. apply over_le. intros g Hg. rewrite <- misfit_entry. fold l. unfold Rdiv.
    rewrite Rabs_mult, (Rabs_pos_eq (/ 2 ^ 100)) by lra. lra.
  - apply Rle_trans
      with (/ 2 ^ 100 * total (map (fun x => Rabs (real (fst x)) * f (num (snd x))) l)).
    + apply Rmult_le_compat_l; [lra|]. apply coef_bound. intros x Hx. now apply Hf, Lk.
    + rewrite <- total_map_scale. unfold misfit_of. fold l. rewrite map_map. cbn [fst snd].
      apply total_map_le.
      intros x Hx. rewrite <- Rmult_assoc. apply Rmult_le_compat_r; [now apply Hf, Lk|].
      rewrite <- real_abs. apply Rle_trans with (2 := up_real (Z.abs (fst x))). unfold real. lra.
Qed.

Lemma misfit_pos x : In x (misfit_of at_ o r) -> (0 <= fst x)%Z.
Proof.
  unfold misfit_of. intros H. apply in_map_iff in H. destruct H as (y & <- & _). cbn [fst].
  apply up_pos. lia.
Qed.

Lemma weigh_total f F l :
  (forall x, In x l -> (0 <= fst x)%Z /\ F (num (snd x)) <= real (f (snd x))) ->
  total (map (fun x => real (fst x) * F (num (snd x))) l) <= real (up (weigh f l)).
Proof.
  intros Hl. apply Rle_trans with (2 := up_real _). rewrite (weigh_real f l). apply total_map_le.
  intros x Hx. destruct (Hl x Hx) as [Px Hx']. apply real_pos in Px. rewrite (Rabs_pos_eq _ Px).
  now apply Rmult_le_compat_l.
Qed.

Lemma errors_unit : local_error (fun _ => real (offset_of o (r_off r))) L (fun g =>
  real (r_centre (at_ (key g)))) A
  (fun _ => real (r_rest r) + real (r_rho r)) errs k.
Proof.
  unfold local_error.
  apply Rle_trans with (2 := real_le _ _ (g_err _ _ _ _ _ (decided net crt Hcap good k Hk))).
  unfold own_error. rewrite !real_plus. assert (C := centre_gap_ok at_ o r k kept_reads).
  assert (M := misfit_total errs errs_pos).
  assert (W : total (map (fun x => real (fst x) * errs (num (snd x))) (misfit_of at_ o r))
    <= real (up (weigh (fun g => r_err (at_ g)) (misfit_of at_ o r)))).
  { apply (weigh_total _ errs). intros x Hx. split; [now apply misfit_pos|]. rewrite key_num.
    apply Rle_refl. }
  cbv beta in M, W. lra.
Qed.

Lemma total_partition {B} (p : B -> bool) (f : B -> R) l : let (a, b) := partition p l in
  total (map f l) = total (map f a) + total (map f b).
Proof.
  induction l as [|x l IH]; [simpl; lra|]. cbn [partition]. destruct (partition p l) as [a b].
  destruct (p x); cbn [map]; change (total (?u :: ?v)) with (u + total v); lra.
Qed.

Lemma owns_unit q : (q < cpixels net)%nat -> local_error (fun _ => 0) L (fun _ => 0) A
  (fun _ => real (entry q (r_bend r)) + 2 * real (r_rho r)) (owns q) k.
Proof.
  intros Hq. unfold local_error.
  apply Rle_trans with (2 := real_le _ _ (g_own _ _ _ _ _ (decided net crt Hcap good k Hk) q)).
  assert (Z0 : read_through L (fun _ => 0) k = 0).
  { unfold read_through. rewrite (over_cut k 0); [reflexivity|lia|]. intros. ring. }
  rewrite Z0, Rplus_0_l, Rminus_0_r, Rabs_R0, Rplus_0_l. assert (E := owns_pos q).
  assert (M := misfit_total (owns q) (fun g Hg => proj1 (E g Hg))). unfold own_change.
  assert (S :=
    total_partition crumb (fun x => real (fst x) * owns q (num (snd x))) (misfit_of at_ o r)).
  assert (I := elements_in_partition crumb (misfit_of at_ o r)).
  destruct (partition crumb (misfit_of at_ o r)) as [small large].
  specialize (I small large eq_refl).
  rewrite !nth_vadd, !real_plus, vweigh_entry, (nth_repeat _ _ q Hq), real_plus, real_scale.
  assert (W1 : total (map (fun x => real (fst x) * owns q (num (snd x))) small) <=
    real (up (weigh (fun _ => c_cap crt) small))).
  { apply (weigh_total (fun _ => c_cap crt) (owns q)). intros x Hx.
    assert (Hx' := proj2 (I x) (or_introl Hx)). split; [now apply misfit_pos|].
    now apply E, misfit_keys. }
  assert (W2 : total (map (fun x => real (fst x) * owns q (num (snd x))) large) <=
    real (up (weigh (fun g => entry q (r_own (at_ g))) large))).
  { apply (weigh_total _ (owns q)). intros x Hx. assert (Hx' := proj2 (I x) (or_intror Hx)).
    split; [now apply misfit_pos|]. rewrite key_num. apply Rle_refl. }
  cbv beta in M, W1, W2, S. lra.
Qed.
End Unit.

(** ** All of it *)

Theorem unit_accepted k o : nth_error (cunits net) k = Some o ->
  unit_facts net (numbers_of crt) k o o.
Proof.
  intros Eo.
  destruct (units_nth net k (denote o) ltac:(cbn [units network_of]; now rewrite nth_error_map, Eo))
    as [Hk _].
  assert (U : o = unit_at net k) by (unfold unit_at; now rewrite (nth_error_nth _ _ _ Eo)).
  rewrite U. clear o Eo U. assert (F := decided net crt Hcap good k Hk).
  split; unfold row_nat; cbn [n_row n_move n_bend n_rem n_own numbers_of]; try apply F.
  - intros j Hj. generalize (g_reads _ _ _ _ _ F j Hj). now rewrite num_key.
  - exists (whole_of at_ (key k)).
    generalize (g_whole _ _ _ _ _ F) (g_mag _ _ _ _ _ F) (g_rho_pos _ _ _ _ _ F). intros W M P.
    split; [lia|]. split; [split; [exact W|unfold whole_of; lia]|]. split; apply F.
  - split; apply F.
  - intros q _. rewrite <- change_entry. apply F.
  - intros q _. apply Z.le_trans with (1 := bend_entry at_ _ _ q), F.
  - intros q _. apply (g_own_pos _ _ _ _ _ F q).
  - now apply radius_unit.
  - intros q _. now apply move_unit.
  - now apply errors_unit.
  - intros q Hq. now apply owns_unit.
Qed.
End Columns.
