(** * The checker is sound

    - [pair_ok]: bound (1) of docs/bound.md, as computed, is at least that of Bound.v;
    - [check_sound]: if [check] accepts, then for all images that differ in the last bit of one
      pixel, all allowed executions of both and every class, the probability changes by at most the
      number claimed, and nothing overflows.

    Rests on Columns.v and Facts.v. Stands behind check.py as a whole, for networks written unit by
    unit as in Program.v. *)

From Coq Require Import Reals Lra Lia ZArith List Bool FMapPositive.
From Lastbit Require Import Statement Totals network.Duals network.Forms network.Bound
  network.Classes.
From Lastbit Require Import checker.Program checker.Numbers checker.Vectors checker.Annotation.
From Lastbit Require Import checker.Facts checker.Accepted checker.Columns.
Import ListNotations.
Open Scope R_scope.

Section Sound.
Variables (net : cnet) (crt : cert).
Hypothesis Hcap : (0 <= c_cap crt)%Z.
Hypothesis good :
  forallb (good_row (row_at crt) (cpixels net) (c_cap crt)) (numbered 1 (cunits net)) = true.

Notation at_ := (row_at crt).
Notation ann := (annotation_of net (numbers_of crt)).
Notation n := (length (cunits net)).

Let accepted := unit_accepted net crt Hcap good.

(** ** Duals *)

Lemma pull_add m i v j : pull (PositiveMap.add i v m) j = if Pos.eqb i j then v else pull m j.
Proof.
  unfold pull. destruct (Pos.eqb_spec i j) as [->|N]; [now rewrite PositiveMap.gss|].
  rewrite PositiveMap.gso; [reflexivity|congruence].
Qed.

Lemma pull_unit c d l m j :
  IZR
  (entry c
    (pull
      (fold_right (fun w m => PositiveMap.add (snd w) (vadd (vscale (fst w) d) (pull m (snd w))) m)
        m l) j)) =
  2 ^ 100 * coef l (num j) * IZR (entry c d) + IZR (entry c (pull m j)).
Proof.
  induction l as [|[w i] l IH]; [unfold coef, Rules.weight; simpl; lra|]. cbn [fold_right fst snd].
  rewrite pull_add, coef_cons, num_eqb. destruct (Nat.eqb_spec (num i) (num j)) as [E|N].
  - assert (i = j) as -> by (rewrite <- (key_num i), <- (key_num j); now rewrite E).
    rewrite nth_vadd, nth_vscale, plus_IZR, mult_IZR, IH. unfold real. field.
  - rewrite IH. lra.
Qed.

Lemma pulled_entry c j : IZR (entry c (pull (pulled at_ (numbered 1 (cunits net))) j)) =
  2 ^ 100 * over n (fun k => core ann k (num j) * IZR (entry c (r_duals (at_ (key k))))).
Proof.
  rewrite <- over_scale.
  transitivity (total
    (map (fun ko => 2 ^ 100 * (coef (core_of (snd ko) (r_slope (at_ (fst ko)))) (num j) *
    IZR (entry c (r_duals (at_ (fst ko)))))) (numbered 1 (cunits net)))).
  - generalize (numbered 1 (cunits net)) as l. induction l as [|ko l IH].
    + unfold pulled, pull. cbn [fold_right]. rewrite PositiveMap.gempty, entry_nil. reflexivity.
    + cbn [pulled fold_right map]. rewrite pull_unit. fold (pulled at_ l). rewrite IH.
      change (total (?a :: ?b)) with (a + total b). lra.
  - exact (numbered_total (fun p o => 2 ^ 100 * (coef (core_of o (r_slope (at_ p))) (num j) *
      IZR (entry c (r_duals (at_ p))))) (cunits net) (CPixel 0)).
Qed.

Lemma core_beyond k j : (k < n)%nat -> (k <= j)%nat -> core ann k j = 0.
Proof.
  intros Hk Hj. apply (coef_beyond _ k); [|exact Hj]. intros x Hx. apply core_in_reads in Hx.
  exact (f_reads _ _ _ _ _ (facts_at net _ accepted k Hk) _ Hx).
Qed.

Section Pair.
Variables c j : nat.
Notation m := (pulled at_ (numbered 1 (cunits net))).
Notation gap := (dual_gap at_ c j).

Lemma gap_is k : real (gap (key k)) = dual ann c j k.
Proof. unfold dual_gap. now rewrite real_minus. Qed.

Lemma chosen_is i k : IZR (chosen net i (key k)) =
  2 ^ 100 * (if (k =? logit (network_of net) i)%nat then 1 else 0).
Proof.
  unfold chosen, logit. cbn [logits network_of].
  assert (E : nth i (map num (clogits net)) 0%nat = num (nth i (clogits net) 1%positive))
    by exact (map_nth num _ 1%positive i).
  rewrite E, num_eqb, num_key.
  destruct (k =? num (nth i (clogits net) 1%positive))%nat; [rewrite one_is; lra|simpl; lra].
Qed.

Lemma defect_is k : (k < n)%nat -> IZR (defect_of at_ net m c j (key k)) / 2 ^ 100 / 2 ^ 100 =
  defect n (core ann) (difference (network_of net) c j) (dual ann c j) k.
Proof.
  intros Hk. unfold defect_of.
  rewrite minus_IZR, plus_IZR, !mult_IZR, !minus_IZR, !chosen_is, !pulled_entry, one_is, num_key.
  unfold defect, difference. rewrite <- gap_is. unfold real at 1.
  assert (P : pulled_back n (core ann) (dual ann c j) k =
    over n (fun i => core ann i k * IZR (entry c (r_duals (at_ (key i))))) / 2 ^ 100 -
    over n (fun i => core ann i k * IZR (entry j (r_duals (at_ (key i))))) / 2 ^ 100).
  { unfold pulled_back.
    transitivity (over n (fun i =>
      / 2 ^ 100 * (core ann i k * IZR (entry c (r_duals (at_ (key i))))) +
      - / 2 ^ 100 * (core ann i k * IZR (entry j (r_duals (at_ (key i))))))).
    - apply over_ext. intros i Hi. destruct (Nat.ltb_spec k i) as [L|L].
      + change (core ann i k) with (core ann i k). cbn [dual annotation_of n_dual numbers_of].
        unfold real. lra.
      + rewrite (core_beyond i k Hi L). lra.
    - rewrite over_plus, !over_scale. lra. }
  rewrite P. set (x := over n _). set (y := over n _). field.
Qed.

Lemma over_keys f : total (map f (map fst (numbered 1 (cunits net)))) = over n (fun k => f (key k)).
Proof. rewrite map_map. apply (numbered_total (fun p _ => f p) (cunits net) (CPixel 0)). Qed.

Lemma pair_ok q : (q < cpixels net)%nat -> logit_bound (network_of net) ann q c j <=
  real (entry q (pair_bound at_ net m c j (numbered 1 (cunits net)))).
Proof.
  intros Hq. unfold logit_bound. cbn [units network_of]. rewrite length_map. unfold pair_bound.
  rewrite nth_vup. apply Rle_trans with (2 := up_real _).
  rewrite !nth_vadd, !nth_vsum, (nth_repeat _ _ q Hq), !map_map, !plus_IZR, !zsum_number, !map_map.
  cbn [fst snd].
  assert (A : forall f, total (map (fun x => f (fst x)) (numbered 1 (cunits net))) =
    over n (fun k => f (key k)))
    by (intros f; rewrite <- over_keys, map_map; reflexivity).
  rewrite (A (fun k => IZR (Z.abs (gap k) * entry q (r_rem (at_ k))))).
  rewrite (A (fun k => IZR (up (Z.abs (defect_of at_ net m c j k)) * entry q (r_move (at_ k))))).
  rewrite (A (fun k => IZR (Z.abs (gap k) * (2 * r_rho (at_ k))))).
  replace ((over n (fun k => IZR (Z.abs (gap (key k)) * entry q (r_rem (at_ (key k))))) +
      over n (fun k =>
        IZR (up (Z.abs (defect_of at_ net m c j (key k))) * entry q (r_move (at_ (key k))))) +
      over n (fun k => IZR (Z.abs (gap (key k)) * (2 * r_rho (at_ (key k)))))) / 2 ^ 100 / 2 ^ 100)
      with
    (over n (fun k => Rabs (dual ann c j k) * (remainder ann q k + 2 * rho ann k)) +
     over n (fun k =>
       real (up (Z.abs (defect_of at_ net m c j (key k)))) * real
       (entry q (r_move (at_ (key k)))))).
  - apply Rplus_le_compat_l. apply over_le. intros k Hk. rewrite <- (defect_is k Hk).
    apply Rmult_le_compat;
      [apply Rabs_pos|now apply (move_low net _ accepted)| |exact
        (move_ok net _ accepted q k Hq Hk)].
    apply Rle_trans with (2 := up_real _). rewrite abs_IZR. unfold Rdiv.
    rewrite !Rabs_mult, !(Rabs_pos_eq (/ 2 ^ 100)) by lra. lra.
  - symmetry. unfold Rdiv. rewrite !Rmult_plus_distr_r.
    assert (Sc : forall f, over n f * / 2 ^ 100 * / 2 ^ 100 =
      over n (fun k => / 2 ^ 100 * / 2 ^ 100 * f k)) by (intros f; rewrite over_scale; lra).
    rewrite !Sc. rewrite (Rplus_comm (_ + _)), <- Rplus_assoc, <- over_plus.
    f_equal; apply over_ext; intros k _.
    + rewrite <- gap_is, <- real_abs. cbn [remainder rho annotation_of]. unfold row_nat.
      cbn [n_rem n_row numbers_of]. unfold real. rewrite !mult_IZR. lra.
    + rewrite mult_IZR. unfold real. lra.
Qed.
End Pair.

End Sound.

(** ** The decision *)

(* map: what the checker written in Coq accepts is a bound *)
Theorem check_sound net crt : check net crt = true ->
  always_finite (network_of net) /\ last_bit_bound (network_of net) (real (c_upper crt)).
Proof.
  unfold check. cbv zeta. rewrite !andb_true_iff, !Z.leb_le.
  intros [[[[[[Hcap Hb] good] Lg] Few] Prs] U]. change (row_of (c_rows crt)) with (row_at crt) in *.
  set (N := length (clogits net)) in *.
  apply (facts_sound net (numbers_of crt) (c_bound crt)); fold N; try assumption.
  - intros l Hl. rewrite forallb_forall in Lg. assert (G := Lg l Hl). apply existsb_exists in G.
    destruct G as ([p o] & Hp & E). apply Pos.eqb_eq in E. cbn [fst] in E. subst p.
    apply numbered_keys. now exists o.
  - apply Nat2Z.inj_le. rewrite Nat2Z.inj_pow. exact Few.
  - intros q c i Hq Hc Hi.
    assert (G : forall c i, (i <= c)%nat -> (c < N)%nat ->
      logit_bound (network_of net) (annotation_of net (numbers_of crt)) q c i <=
      real (c_bound crt)).
    { clear c i Hc Hi. intros c i Hi Hc.
      apply Rle_trans with (1 := pair_ok net crt Hcap good c i q Hq). apply real_le.
      rewrite forallb_forall in Prs. specialize (Prs _ (in_pairs N c i Hi Hc)).
      cbn [fst snd] in Prs.
      apply (all_nth (fun b => b <=? c_bound crt)%Z (fun b => (b <= c_bound crt)%Z));
        [intros x; apply Z.leb_le|exact Hb|exact Prs]. }
    destruct (Nat.le_gt_cases i c) as [L|L]; [now apply G|]. rewrite bound_swapped; [apply G; lia|].
    intros x. cbn [dual annotation_of n_dual numbers_of]. lra.
  - now apply unit_accepted.
Qed.
