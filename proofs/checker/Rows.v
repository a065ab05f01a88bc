(** * Units meet the conditions of Bound.v

    - [box_ok]: the exact operation of a boxed unit stays in the box of its row;
    - [values_unit], [changes_unit]: the exact operation of a unit follows the affine form of its
      row, if its [unit_facts] and those of all units hold.

    Rests on Sloped.v and Annotation.v. Stands behind the rules of operators/. *)

From Coq Require Import Reals Lra Lia ZArith List Bool.
From Lastbit Require Import Statement Totals operations.Units network.Duals network.Forms
  network.Bound network.Rules.
From Lastbit Require Import checker.Program checker.Numbers checker.Vectors checker.Annotation
  checker.Curves
  checker.Sloped.
Import ListNotations.
Open Scope R_scope.

Section Rows.
Variables (net : cnet) (d : numbers).
Hypothesis facts : forall k o, nth_error (cunits net) k = Some o -> unit_facts net d k o o.

Notation at_ := (n_row d).
Notation full := (annotation_of net d).
Notation n := (length (cunits net)).

Section Unit.
Variable k : nat.
Hypothesis Hk : (k < n)%nat.

Notation r := (row_nat d k).
Notation o := (unit_at net k).
Notation F := (F net d facts k Hk).
Notation reads_below := (reads_below net d facts k Hk).
Notation core_here := (core_here net k).
Notation sloped := (sloped net d k).
Notation range_operand := (range_operand net d facts k Hk).
Notation sloped_values := (sloped_values net d facts k Hk).
Notation sloped_changes := (sloped_changes net d facts k Hk).

(** ** Boxes *)

Lemma bilinear a b x t : a <= x <= b -> Rmin (a * t) (b * t) <= x * t <= Rmax (a * t) (b * t).
Proof.
  intros [A B]. destruct (Rle_or_lt 0 t) as [T|T].
  - assert (a * t <= x * t) by now apply Rmult_le_compat_r.
    assert (x * t <= b * t) by now apply Rmult_le_compat_r.
    split;
      [apply Rle_trans with (1 := Rmin_l _ _); assumption|apply Rle_trans
        with (2 := Rmax_r _ _); assumption].
  - assert (b * t <= x * t) by (apply Rmult_le_compat_neg_l with (r := t) in B; lra).
    assert (x * t <= a * t) by (apply Rmult_le_compat_neg_l with (r := t) in A; lra).
    split;
      [apply Rle_trans with (1 := Rmin_r _ _); assumption|apply Rle_trans
        with (2 := Rmax_l _ _); assumption].
Qed.

Lemma down_real a : real (Z.shiftr a 100) <= IZR a / 2 ^ 100 / 2 ^ 100.
Proof.
  generalize (shift_down a 100 ltac:(lia)). change (2 ^ 100)%Z with one. rewrite one_is.
  unfold real. lra.
Qed.

Lemma product_range a b c e x t : real a <= x <= real b -> real c <= t <= real e ->
  real (Z.shiftr (Z.min (Z.min (a * c) (a * e)) (Z.min (b * c) (b * e))) 100) <= x * t <=
  real (up (Z.max (Z.max (a * c) (a * e)) (Z.max (b * c) (b * e)))).
Proof.
  intros Hx Ht. destruct (bilinear _ _ x t Hx) as [L H].
  destruct (bilinear _ _ t (real a) Ht) as [La Ha].
  destruct (bilinear _ _ t (real b) Ht) as [Lb Hb]. rewrite !(Rmult_comm _ (real a)) in La, Ha.
  rewrite !(Rmult_comm _ (real b)) in Lb, Hb.
  assert (P : forall y z, real y * real z = IZR (y * z) / 2 ^ 100 / 2 ^ 100)
    by (intros; unfold real; rewrite mult_IZR; lra).
  rewrite !P in La, Ha, Lb, Hb. split.
  - apply Rle_trans with (1 := down_real _). set (w := Z.min _ _).
    assert (W : forall z, (w <= z)%Z -> IZR w / 2 ^ 100 / 2 ^ 100 <= IZR z / 2 ^ 100 / 2 ^ 100)
      by (intros z Hz; apply IZR_le in Hz; lra).
    apply Rle_trans with (2 := L).
    apply Rmin_glb; [apply Rle_trans with (2 := La)|apply Rle_trans with (2 := Lb)];
      apply Rmin_glb; apply W; unfold w; lia.
  - apply Rle_trans with (2 := up_real _). set (w := Z.max _ _).
    assert (W : forall z, (z <= w)%Z -> IZR z / 2 ^ 100 / 2 ^ 100 <= IZR w / 2 ^ 100 / 2 ^ 100)
      by (intros z Hz; apply IZR_le in Hz; lra).
    apply Rle_trans with (1 := H).
    apply Rmax_lub; [apply Rle_trans with (1 := Ha)|apply Rle_trans with (1 := Hb)];
      apply Rmax_lub; apply W; unfold w; lia.
Qed.

Lemma box_ok v x : may_box o = true -> (forall j, (j < k)%nat -> within full j (x j)) ->
  let (l, h) := range_of at_ o in real l <= ideal (denote o) v x <= real h.
Proof.
  intros B Hx. assert (Rd := reads_below). revert B Rd. generalize o as u.
  intros u B Rd. destruct u as [p|ws bs c|j|j|i j]; try discriminate B;
    cbn [range_of denote ideal reads_of] in Rd |- *.
  - apply sigmoid_values_ok. apply (range_operand 0%Z); [now apply Rd; left|]. apply Hx.
    now apply Rd; left.
  - apply silu_values_ok. apply (range_operand 0%Z); [now apply Rd; left|]. apply Hx.
    now apply Rd; left.
  - apply product_range; apply (range_operand 0%Z); try apply Hx; apply Rd; simpl; auto.
Qed.

Lemma boxed_ok v x : r_box r = true -> (forall j, (j < k)%nat -> within full j (x j)) ->
  Rabs (ideal (denote o) v x - offset full k) <= rest full k.
Proof.
  intros B Hx. assert (Fr := F). assert (M := f_box _ _ _ _ _ Fr B). assert (K := box_ok v x M Hx).
  assert (Rs := f_rest _ _ _ _ _ Fr). unfold rest_of in Rs. rewrite B in Rs.
  destruct (range_of at_ o) as [l h]. apply real_le in Rs. rewrite real_max, !real_minus in Rs.
  cbn [offset rest annotation_of].
  assert (E : offset_of o (r_off r) = r_off r)
    by (clear - M; destruct o; try discriminate M; reflexivity). rewrite E.
  apply Rabs_le. generalize (Rmax_l (real h - real (r_off r)) (real (r_off r) - real l))
    (Rmax_r (real h - real (r_off r)) (real (r_off r) - real l)). lra.
Qed.

Lemma kept_unboxed : r_box r = false -> kept full k = coef (core_here (r_slope r)).
Proof. intros B. cbn [kept annotation_of]. unfold kept_at, kept_of. now rewrite B. Qed.

Lemma kept_boxed x : r_box r = true -> read_through (kept full) x k = 0.
Proof.
  intros B. unfold read_through. rewrite (over_cut k 0); [reflexivity|lia|]. intros j _.
  cbn [kept annotation_of]. unfold kept_at, kept_of. rewrite B. unfold coef, Rules.weight. simpl.
  ring.
Qed.

(** ** The unit, boxed or not *)

Lemma values_unit : value_rule full k (denote o).
Proof.
  intros v x Hv Hx. destruct (r_box r) eqn:B.
  - rewrite (kept_boxed x B), Rminus_0_r. now apply boxed_ok.
  - assert (S := sloped_values (r_slope r) v x Hv Hx). assert (Rs := f_rest _ _ _ _ _ F).
    unfold rest_of in Rs. rewrite B in Rs. apply real_le in Rs. unfold read_through.
    rewrite (kept_unboxed B). apply Rle_trans with (1 := S). exact Rs.
Qed.

(** The same, with room for one unit more. *)
Lemma values_room : r_box r = false -> (rest_of at_ o r < r_rest r)%Z ->
  forall v x, image v -> (forall j, (j < k)%nat -> within full j (x j)) ->
  Rabs (ideal (denote o) v x - offset full k - read_through (kept full) x k) + real 1 <=
    rest full k.
Proof.
  intros B L v x Hv Hx. assert (S := sloped_values (r_slope r) v x Hv Hx). unfold rest_of in L.
  rewrite B in L.
  apply Z.le_succ_l, real_le in L. unfold Z.succ in L. rewrite real_plus in L. unfold read_through.
  rewrite (kept_unboxed B). cbn [rest annotation_of]. apply Rle_trans with (2 := L).
  apply Rplus_le_compat_r. exact S.
Qed.

Lemma core_0 x : may_box o = true -> read_through (kept (sloped 0)) x k = 0.
Proof.
  intros B. unfold read_through. rewrite (over_cut k 0); [reflexivity|lia|]. intros j _.
  cbn [kept sloped]. unfold core_here. clear - B.
  destruct o; try discriminate B; cbn [core_of]; rewrite coef_cons, real_0;
    unfold coef, Rules.weight; simpl;
    destruct (num _ =? j)%nat; ring.
Qed.

Lemma changes_unit : change_rule (network_of net) full k (denote o).
Proof.
  intros q v v' x x' Hq Hv Hv' Hn Hx D. assert (Fr := F).
  assert (S : forall m,
    Rabs (ideal (denote o) v' x' - ideal (denote o) v x - read_through (kept (sloped m)) D k) <=
    real (change_of at_ q (n_move d q) o m)).
  { intros m. exact (proj1 (sloped_changes m q v v' x x' Hq Hv Hv' Hn Hx)). }
  split.
  - assert (Bs := f_bend _ _ _ _ _ Fr q Hq). unfold bend_by in Bs.
    apply Rle_trans with (2 := real_le _ _ Bs). destruct (r_box r) eqn:B.
    + rewrite (kept_boxed D B), Rminus_0_r. assert (M := f_box _ _ _ _ _ Fr B).
      assert (S0 := S 0%Z). rewrite (core_0 D M), Rminus_0_r in S0.
      rewrite real_min, real_scale. apply Rmin_glb; [|exact S0].
      assert (V := boxed_ok v x B (fun j Hj => proj1 (Hx j Hj))).
      assert (V' := boxed_ok v' x' B (fun j Hj => proj1 (proj2 (Hx j Hj)))).
      cbn [rest annotation_of] in V, V'.
      replace (ideal (denote o) v' x' - ideal (denote o) v x) with
        ((ideal (denote o) v' x' - offset full k) + - (ideal (denote o) v x - offset full k))
        by ring.
      apply Rle_trans with (1 := Rabs_triang _ _). rewrite Rabs_Ropp. lra.
    + unfold read_through. rewrite (kept_unboxed B). exact (S (r_slope r)).
  - apply Rle_trans with (2 := real_le _ _ (f_rem _ _ _ _ _ Fr q Hq)). exact (S (r_slope r)).
Qed.
End Unit.
End Rows.
